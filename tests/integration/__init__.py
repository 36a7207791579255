"""Parts of `handler/` and the whole of it, over real HTTP: S3, SQS and a catalog that fail as told."""
