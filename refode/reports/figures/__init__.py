"""Figures and tables of the papers, on data sets real and made."""
