"""Numbers about a trained model, in nats unless said."""
