"""What a user asks for, from end to end: train, evaluate, explain, the demo; each composes the layers below."""
