//go:build !unix

package serve

// refused takes any failure to connect for the absence of a listener: the
// systems without UNIX's errors do not tell which it is.
func refused(error) bool { return true }
