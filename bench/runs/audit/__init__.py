"""What is wrong with a task's data, and how far its labels can be predicted without hearing the sound."""
