def femtodollars(text: str, /) -> int | None:
    """The whole number of femtodollars that `text` ("23/5000", "2", as `str` of a Fraction writes it) states; None
    where there is none of 63 bits, or the text is another."""
