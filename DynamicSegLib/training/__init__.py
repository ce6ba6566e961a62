"""Training: readers of labelled data, the slice cache, augmentation, losses, schedules, and the runs of each method."""
