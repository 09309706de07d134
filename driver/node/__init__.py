"""What CSI's Node service does, in our words: volumes staged, published, measured, grown and looked after on one machine."""
