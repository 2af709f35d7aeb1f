declare namespace App {
  interface Locals {
    receivedAt: string;
  }
}
