"""The commands of runs, the demo, the doctor, labels and schemas: one file each."""
