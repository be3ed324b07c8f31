// The control of P14: an order service that keeps everything in memory and loses it on exit.
// Go's standard HTTP server, one mutex, a slice of events and a map of orders.
package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

type event struct {
	Type      string          `json:"type"`
	OrderID   string          `json:"order_id"`
	Timestamp time.Time       `json:"timestamp"`
	Data      json.RawMessage `json:"data"`
}

type order struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

type book struct {
	mutex  sync.Mutex
	events []event
	orders map[string]order
}

func (b *book) record(e event) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.events = append(b.events, e)
	b.orders[e.OrderID] = order{ID: e.OrderID, Status: "PENDING"}
}

func (b *book) create(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	id, err := newID()
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	b.record(event{Type: "OrderCreated", OrderID: id, Timestamp: time.Now().UTC(), Data: json.RawMessage("{}")})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]string{"order_id": id})
}

// newID makes a random (version 4) UUID.
func newID() (string, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16]), nil
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	orders := &book{orders: make(map[string]order)}
	http.HandleFunc("/orders", orders.create)
	fmt.Printf("listening on http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
