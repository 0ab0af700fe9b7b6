"""What is asked: tables of routes and a model of queries, from the raw request line to an Ask. Pure."""
