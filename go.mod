module github.com/cloudvlan/cvlanctl

go 1.26
