"""The parts of the synthetic fundus: eye, vessels, lesions and camera; `medmtl.data.synthetic` puts them together."""
