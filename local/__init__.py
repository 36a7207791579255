"""What runs the function here: embedded servers, an event source mapping, the demo and its tools."""
