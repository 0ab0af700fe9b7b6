"""Answers for Orthanc's Authorization plugin: questions about tokens, and links that are made in Orthanc."""
