// Lambda is a function of the runtime provided.al2023: it asks the AWS Lambda
// Runtime API for the events of an API gateway.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func main() { lambda.Start(answer) }

func answer(_ context.Context, e events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	log.Println("asked for", e.RawPath)
	if e.RawQueryString == "fail" {
		return events.APIGatewayV2HTTPResponse{}, errors.New("as it was asked to")
	}
	body, err := json.Marshal(map[string]string{
		"runtime": "provided.al2023", "method": e.RequestContext.HTTP.Method, "query": e.RawQueryString, "body": e.Body,
	})
	return events.APIGatewayV2HTTPResponse{
		StatusCode: 200, Headers: map[string]string{"content-type": "application/json"}, Cookies: []string{"a=1"}, Body: string(body),
	}, err
}
