import { Component } from "@angular/core";

@Component({ template: `<h1>Analog on Lateen</h1>` })
export default class Home {}
