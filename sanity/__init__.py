"""csi-sanity, the conformance tests of the CSI community, over every backend and both ways to run the driver."""
