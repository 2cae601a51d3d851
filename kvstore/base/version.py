"""The release of etcd whose behaviour this is: what `/version`, Status and the tools say."""

ETCD_VERSION = "3.6.12"
