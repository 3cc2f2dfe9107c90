"""The page's own HTML, styles and scripts; a package so that they are installed with the code."""
