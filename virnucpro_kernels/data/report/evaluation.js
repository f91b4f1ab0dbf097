// The page of an evaluation: its figures alone.
document.documentElement.dataset.ready = "true";
