"""How static int8 is planned from calibration texts, and the search for a budget."""
