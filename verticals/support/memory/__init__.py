"""What is kept of a customer beyond a conversation's last turns: facts that they stated, and what they came for."""
