"""What each code does for a task that is no quantity of the conformance kit."""
