"""A stand-in for Dataproc Serverless over one Spark session."""
