"""The operator's tools: what is in the queues and the bucket, and what to do about it."""
