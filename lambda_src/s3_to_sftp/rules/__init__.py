"""A partner's rules: what names files get, in which order, beside which others. Pure: rules in, plans out."""
