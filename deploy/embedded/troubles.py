"""What can keep a stack from coming up, told to a person: one sentence that says what and what to do.

The command line prints the sentence and exits with 1; nothing else in `deploy` prints an error.
"""


class Trouble(Exception):
    """Something the person at the keyboard can put right; its text is the whole message."""
