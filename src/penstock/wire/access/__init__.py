"""Who asks, and what they may: signatures of account keys, tokens of issuers and of tasks."""
