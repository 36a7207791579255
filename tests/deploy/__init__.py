"""What is deployed: the template, the stack that it makes, the artifact, and the CI that lets it through."""
