"""The book's bookkeeping: recorded numbers, tables, verdicts, and pictures. The learning library does without it."""
