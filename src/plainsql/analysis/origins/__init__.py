"""Origins: the columns that the values of a result or a parameter belong to, proved on the analysed tree."""
