// Package files is the door to the bytes of assets: GET, HEAD, POST and PUT on /files/<name>.
// Who reads shows a signed URL, who uploads an API key. A file is served so that nothing in it runs with
// the rights of the shop's pages. Wire: skygear §2.9.
package files
