"""The embedded stack: S3 and SQS by moto, a catalog that can fail, the event source mapping."""
