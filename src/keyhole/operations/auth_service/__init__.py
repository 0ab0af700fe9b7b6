"""``keyhole import-auth-service``: the settings of orthanc-auth-service, which answered Orthanc's plugin before.

Its variables are read (``variables``), what each is here is worked out (``carry``), and files are written (``files``).
Facts: the web service, section 16.
"""
