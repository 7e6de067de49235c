"""What the words of `augment_words.py` do to a batch: one class each, by kind."""
