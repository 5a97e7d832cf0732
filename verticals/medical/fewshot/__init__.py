"""A finding of a site's own from some fifty labelled images: learned on the packaged encoder, measured, enabled."""
