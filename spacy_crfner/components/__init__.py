"""What all components have in common: declared settings, saving, and what training needs."""
