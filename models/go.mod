// This folder is a module of its own so that programs which import sr3 do not download its models.
module github.com/sr3-go/sr3/models

go 1.26
