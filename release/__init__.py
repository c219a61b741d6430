"""How a release is made and looked over; each file here is a program, run by make."""
