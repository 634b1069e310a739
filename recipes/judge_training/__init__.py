"""Training of the two judges that ship with the package: texts, training, calibration, scores."""
