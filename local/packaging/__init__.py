"""What is made from the sources: the artifact that is deployed, and the sample events."""
