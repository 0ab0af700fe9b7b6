"""The web service that Orthanc's Authorization plugin and Explorer 2 ask (``WebServiceRootUrl``)."""
