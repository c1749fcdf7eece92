"""The paper: claims evaluated from tables, and the text that follows from them."""
