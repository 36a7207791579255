"""OpenAerialMap status publisher: an AWS Lambda function fed by an SQS queue."""
