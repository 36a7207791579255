"""What is made from the sources: the artifact that is deployed, the sample events, and `.venv`."""
