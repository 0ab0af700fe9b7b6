"""A model of Orthanc's Authorization plugin, made from what is known of it and held to recorded exchanges.

The plugin itself cannot be had for the tests. The model has its permission table, its order of questions and its
caching, and stands in front of a real Orthanc where whole stories are tested.
"""
