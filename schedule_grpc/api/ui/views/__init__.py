"""What pages show, as frozen values without HTML: made of the service's answers, drawn by the templates."""
