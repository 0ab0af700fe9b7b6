"""``keyhole doctor``: the settings and the running installation looked over. Facts are gathered, then judged.

Whatever is gathered has an end, and what fails is a finding. Judging is pure: facts in, findings out.
"""
