"""What a release consists of, built and examined: `python -m release`. No part of the distribution."""
