"""What the page, every picture, every export and the README say about themselves."""

RESEARCH_NOTICE = "Research use only. Not for diagnosis."

SCOPE = "For B-mode of the breast. Other organs are judged as well, and wrongly."
